# Settings: the policy of the team.

settings-title = Settings
settings-lead = How long people of { $tenant } stay signed in, and what they may do about their sessions.
settings-read-only = You may see the settings and change nothing. An administrator may change them.
settings-saved = The settings are saved and in force. Sessions that break them end within a minute.
settings-same = Nothing differs from the settings in force, so there is nothing to save.
settings-wrong = Correct these fields. Nothing was changed.
settings-source = These settings come from a standard: { $source }
settings-source-own = These settings were chosen by hand, not from a standard.
settings-caption = The settings in force
settings-column-setting = Setting
settings-column-value = Value

# The form
settings-idle = Idle timeout
settings-idle-hint = A session that nobody uses for this long ends.
settings-idle-1d = 1 day
settings-idle-7d = 7 days
settings-idle-30d = 30 days
settings-idle-never = Never (not recommended)
settings-idle-never-why = A forgotten session on a lost device then lasts until its lifetime ends.
settings-idle-own = Another time
settings-lifetimes = Lifetimes
settings-remember = People may choose “remember me”
settings-remember-lifetime = Lifetime with “remember me”
settings-lifetime = Lifetime without it
settings-longest = Longest lifetime of any session
settings-longest-hint = However often it is used. The other two lifetimes must not be longer.
settings-token = Lifetime of access tokens
settings-token-hint = Empty: as the installation says.
settings-limit = Sessions of one person
settings-sessions-max = At most this many at a time
settings-sessions-max-hint = 1 to 10,000. Empty: no limit.
settings-at-limit = A sign-in at the limit
settings-at-limit-oldest = ends the oldest session
settings-at-limit-refuse = is refused
settings-people = People and their own sessions
settings-users-see = People may see and end their own sessions
settings-last-page = Keep the last page of each session
settings-last-page-hint = Administrators and the person then see which page was opened last. The address after “?” is never kept.
settings-recent = Ending other sessions needs a sign-in within
settings-recent-hint = Also for administrators, and for changing these settings. Empty: at any time.
settings-sign-in = Sign-in
settings-acr = Required sign-in strength (acr)
settings-acr-hint = One value a line, as your sign-in page sends it. Empty: any. Sessions with another value end.
settings-shared = End a session when two devices present its refresh token
settings-shared-hint = It has been copied, or a device changed its network between two tries.
settings-findings = Report as suspicious
settings-finding-1 = A new device
settings-finding-2 = A new country
settings-finding-3 = A new city
settings-finding-4 = A new network
settings-finding-5 = Impossible travel
settings-finding-6 = A very old session
settings-finding-7 = A change of country
settings-finding-8 = A refresh token that was used again
settings-finding-9 = A refresh token in two clients
settings-amount = Number
settings-unit = Unit
settings-unit-seconds = seconds
settings-unit-minutes = minutes
settings-unit-hours = hours
settings-unit-days = days
settings-check = See what will change
settings-reset = Undo my changes

# Values
settings-value-never = Never
settings-value-any = Any
settings-value-any-time = At any time
settings-value-no-limit = No limit
settings-value-installation = As the installation says
settings-value-yes = Yes
settings-value-no = No
settings-value-none = None
settings-stricter = Stricter for the user { $user }
settings-stricter-remember = no “remember me”
settings-stricter-value = { $setting }: { $value }
settings-stricter-hint = Stricter values for single users are set by the API and stay as they are.

# Standards
settings-presets = Standards
settings-presets-hint = A standard replaces the idle timeout and the longest lifetime, and lowers the other lifetimes to fit. Everything else stays.
settings-presets-caption = Standards, and what they ask for
settings-preset-name = Standard
settings-preset-source = Source
settings-preset-two-factors = Set “required sign-in strength” as well: this standard asks for two factors.
settings-preset-use = See what { $name } would change
settings-preset-idle-none = as it is

# Before saving
settings-confirm-title = Save these settings?
settings-confirm-changes = What changes
settings-confirm-before = Now
settings-confirm-after = New
settings-preview =
    { $count ->
        [0] No session will end by this.
        [one] One session will end by this.
       *[other] { $count } sessions will end by this.
    }
settings-preview-capped =
    { $count ->
        [0] The team has too many sessions to look at all of them. None of the newest will end by this.
       *[other] At least { $count } sessions will end by this.
    }
settings-preview-sample = The newest of them
settings-preview-user = User
settings-preview-device = Device
settings-preview-last-active = Last active
settings-preview-later = Sessions that are idle too long later on will end then.
settings-reason = Reason
settings-reason-hint = For the audit log. At most 1,024 bytes.
settings-save = Save the settings
settings-back = Back without saving
settings-unknown-device = Unknown device

# Somebody was faster
settings-conflict-title = Somebody else changed the settings
settings-conflict-why = They were changed after you opened them. Nothing of yours was saved. Compare both versions, and choose.
settings-conflict-by = Changed { $time } by { $actor }: { $reason }
settings-conflict-caption = Where the two versions differ
settings-conflict-theirs = In force now
settings-conflict-yours = Yours
settings-conflict-same = Both versions are the same. There is nothing left to save.
settings-conflict-use-yours = Go on with mine
settings-conflict-use-theirs = Keep what is in force

# Problems
settings-wrong-idle = Idle timeout: enter a whole number, 1 second to 3,660 days.
settings-wrong-lifetime = Lifetime without “remember me”: enter a whole number, 1 second up to the longest lifetime.
settings-wrong-remember = Lifetime with “remember me”: enter a whole number, 1 second up to the longest lifetime.
settings-wrong-longest = Longest lifetime: enter a whole number, 1 second to 3,660 days.
settings-wrong-token = Lifetime of access tokens: enter a whole number of at least 1 second, not longer than the installation allows.
settings-wrong-sessions-max = Sessions of one person: enter 1 to 10,000, or nothing.
settings-wrong-at-limit = A sign-in at the limit: choose what it does.
settings-wrong-acr = Required sign-in strength: at most 16 values of at most 256 bytes, without control characters.
settings-wrong-recent = Recent sign-in: enter a whole number, 1 second to 3,660 days, or nothing.
settings-wrong-users = A stricter value of a single user would be looser than these settings. Change it by the API first.
settings-wrong-preset = This standard is not known.
settings-wrong-reason = Enter a reason of at most 1,024 bytes, without control characters.
settings-wrong-other = The authority refused a value ({ $field }).
settings-gates = Gates: where these settings are enforced
