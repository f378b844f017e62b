# The rooms of administrators: users, sessions, and signing out many.

team-nav = Team
team-nav-users = Users
team-nav-sessions = Sessions

team-users = Team: users
team-users-caption = Users, { $order }
team-sessions = Team: sessions
team-sessions-caption = Sessions, { $order }
team-sessions-of = Sessions of { $name }
team-total =
    { $count ->
        [one] One active session in { $tenant }
       *[other] { $count } active sessions in { $tenant }
    }
team-total-capped = More than { $count } active sessions in { $tenant }
team-reading-only = You may look, and change nothing. An administrator may end sessions.
team-none-users = No user matches.
team-none-sessions = No session matches.

# Finding
team-find-users = Find users
team-find-sessions = Find sessions
team-find = Search
team-find-clear = Show all
team-find-hint = Parts of names in any order; case and accents do not matter.
team-field-user-name = User name
team-field-person-name = First or last name
team-field-email = Email
team-field-network = Address at sign-in
team-field-network-hint = One address, or a network such as 192.0.2.0/24
team-field-country-code = Country
team-field-country-code-hint = Two letters, such as EE
team-field-device-type = Device
team-field-state = State
team-field-end-cause = Why it ended
team-field-signed-in-after = Newest sign-in from
team-field-signed-in-before = Newest sign-in before
team-field-started-after = Signed in from
team-field-started-before = Signed in before
team-field-last-active-after = Last active from (day, UTC)
team-field-last-active-before = Last active before (day, UTC)
team-field-active-addresses-min = Active now from at least so many addresses
team-field-active-addresses-min-hint = 2 to 100
team-field-shown = Users
team-shown-signed-in = With active sessions
team-shown-all = All, also signed out and disabled
team-any = Any
team-wrong = Correct the marked fields. Nothing was searched.
team-wrong-name = At most 8 words and 256 characters, and not blank.
team-wrong-network = Enter one address, or a network such as 192.0.2.0/24.
team-wrong-country-code = Enter two letters, such as EE.
team-wrong-time = Enter a valid date. The beginning must not be later than the end.
team-wrong-active-addresses-min = Enter a number from 2 to 100.

# Columns
team-column-select = Select
team-column-user-name = User name
team-column-person-name = Last and first name
team-column-sign-in = Newest sign-in
team-column-sessions = Sessions
team-column-last-active = Last active
team-column-addresses = Addresses now
team-column-state = State
team-column-roles = Roles
team-column-user = User
team-column-device = Device
team-column-place = Place
team-column-address = Address
team-column-signed-in = Signed in
team-order-sign-in = newest sign-in first
team-order-user-name = by user name
team-order-person-name = by last name
team-order-sessions = most sessions first
team-order-last-active = last active first
team-order-start = newest first
team-order-user = by user
team-select-user = Select { $name }
team-select-session = Select the session of { $name } on { $device }, signed in { $time }
team-select-all = Select all on this page
team-select-none = Select none
team-more = more than { $count }
team-never = Never
team-findings =
    { $count ->
        [one] One finding
       *[other] { $count } findings
    }

# States
team-state-active-now = Active now
team-state-idle = Idle
team-state-signed-out = Signed out
team-state-disabled = Disabled
team-state-you = You
team-state-this = Your session
team-session-active = Active
team-session-expired = Expired
team-session-signed-out = Signed out by the user
team-session-revoked = Ended
team-session-any = Any, also ended
team-role-1 = Support
team-role-2 = Administrator
team-role-none = None

# Pages of lists
team-pages = Pages
team-page = Page { $number }
team-page-previous = Previous page
team-search-gone = This search is no longer available
team-search-gone-why = Its address was made by an earlier console, or for somebody else. Nothing was changed.
team-search-again = Search again
team-page-gone = This page of the list is no longer available. This is the first page.

# Actions
team-end-selected = End the selected sessions…
team-end-matching = End all that match…
team-end-users = End sessions…
team-end-disable = End & Disable…
team-enable = Enable again…
team-end-all-of-user = End all sessions…

# One user
team-user = User
team-user-id = User id
team-user-created = First seen
team-user-disabled = Disabled { $time }. The user can neither sign in nor refresh.
team-user-own = This is your own account. Another administrator has to disable you or change your roles.
team-user-show-ended = Show ended sessions too
team-user-hide-ended = Show active sessions only
team-ended-why = { $cause }: { $reason }
team-roles = Roles
team-roles-what = Support reads the team's sessions, users, settings and audit log. An administrator may also change them.
team-roles-save = Change the roles
team-roles-changed = Somebody changed the roles meanwhile. Below are the roles of now. Nothing was changed.

# Before something ends
team-preview =
    { $count ->
        [0] No session is active now.
        [one] One session will end.
       *[other] { $count } sessions will end.
    }
team-preview-capped = More than { $count } sessions will end.
team-preview-sample = The newest of them
team-preview-later = Sessions that open before you confirm will end as well.
team-force = Force sign-out
team-force-what = Ends every session of the users. They may sign in again unless you disable them.
team-force-users = Users to sign out
team-force-ids = User ids
team-force-ids-hint = One id a line, at most 1,000. Ids that are not known yet are signed out too.
team-force-look = See what will end
team-force-one = Sign out { $name }
team-force-many =
    { $count ->
        [one] Sign out one user
       *[other] Sign out { $count } users
    }
team-force-unknown = has never signed in
team-force-own = You are one of them: you will be signed out too.
team-force-own-disable = You are one of them. You cannot disable yourself: another administrator has to.
team-force-confirm = End the sessions
team-force-disable = Also disable: new sign-ins are refused and API keys end
team-reason = Reason
team-reason-hint = For the audit log. At most 1,024 bytes.
team-message = Text for the user
team-message-hint = Shown to the user when they are signed out. May stay empty. At most 1,024 bytes.
team-wrong-reason = Enter a reason of at most 1,024 bytes.
team-wrong-message = At most 1,024 bytes.
team-wrong-users = Name 1 to 1,000 users. An id has at most 128 bytes.
team-wrong-sessions = Select at least one session.
team-end = End sessions
team-end-what = Only these sessions end. The users stay signed in elsewhere.
team-end-confirm = End these sessions
team-matching = End all sessions that match
team-matching-what = Ends at most 1,000 at once, the newest first. Sessions that begin to match later stay.
team-matching-condition = { $field }: { $value }
team-enable-title = Enable { $name } again
team-enable-what = The user may sign in again. Ended sessions and API keys stay ended.
team-enable-not = This user is not disabled. There is nothing to undo.
team-enable-confirm = Enable the user
team-everyone = Sign out the whole team
team-everyone-what = Ends every session in { $tenant }, yours too. Everybody has to sign in again.
team-everyone-type = Type { $tenant } to confirm
team-everyone-confirm = Sign out everybody
team-wrong-confirmation = Type the name exactly: { $tenant }

# Afterwards
team-done = Done
team-done-ended =
    { $count ->
        [0] Nothing was left to end: no session was active.
        [one] One session was ended.
       *[other] { $count } sessions were ended.
    }
team-done-ended-capped = More than { $count } sessions were ended.
team-done-disabled =
    { $count ->
        [one] The user is disabled.
       *[other] { $count } users are disabled.
    }
team-done-enabled = The user may sign in again.
team-done-roles = The roles are in force: { $roles }.
team-done-unknown = These users have never signed in, and are most likely mistakes:
team-done-unknown-more =
    { $count ->
        [one] and one more
       *[other] and { $count } more
    }
team-done-more = More sessions match.
team-done-more-again = Look at the rest…
team-done-own = Your own session has ended as well.
team-done-sign-in = Sign in again
team-back = Back to the list
team-back-user = Back to the user
