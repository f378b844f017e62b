# A person's own sessions.

mine-title = My sessions
mine-lead = Every place where you are signed in. If you do not know one, sign it out and change your password.
mine-back = All my sessions
mine-pages = More sessions
mine-this-session = This session
mine-other-sessions = Other sessions
mine-no-others = You are signed in nowhere else.
mine-current = This device
mine-suspicious = Please check
mine-suspicious-count = { $count ->
    [one] { $count } session looks unusual. Please check it.
   *[other] { $count } sessions look unusual. Please check them.
}
mine-hidden = Your organisation does not show sessions here. You can still sign out of this one.
mine-sign-out = Sign out
mine-sign-out-here = Sign out of this session
mine-sign-out-others = Sign out all others
mine-sign-out-everywhere = Sign out everywhere
mine-last-active = Last active
mine-status-active = Active now
mine-status-idle = Idle
mine-state-ended = Ended

mine-slot-day = In the last 24 hours
mine-slot-week = In the last 7 days
mine-slot-older = Earlier

mine-device-unknown = Unknown device
mine-device-on = { $program } on { $machine }
mine-type-desktop = Computers
mine-type-phone = Phones
mine-type-tablet = Tablets
mine-type-tv = Televisions
mine-type-program = Programs
mine-type-unknown = Other devices

mine-facts = Details
mine-fact-user = User
mine-fact-user-id = User id
mine-fact-device = Device
mine-fact-place = Place
mine-fact-operator = Network operator
mine-fact-address = Address
mine-fact-created = Signed in
mine-fact-last-active = Last active
mine-fact-actions = Requests
mine-fact-sign-ins = Sign-ins on this device
mine-fact-last-page = Last page
mine-fact-methods = Signed in with
mine-fact-acr = Level of sign-in
mine-fact-authenticated = Identity confirmed
mine-fact-idle-end = Ends if it is not used
mine-fact-end = Ends at the latest
mine-fact-ended = Ended
mine-fact-why = Why
mine-fact-reason = Reason, for administrators
mine-fact-actor = Ended by
mine-fact-id = Session id

mine-method-pwd = password
mine-method-otp = one-time code
mine-method-sms = text message
mine-method-key = security key
mine-method-biometric = face or fingerprint
mine-method-pin = PIN
mine-method-mfa = several factors
mine-method-card = smart card

mine-findings = This session looks unusual
mine-advice = If this was not you:
mine-level-high = Serious
mine-level-medium = Unusual
mine-level-low = For your information
mine-finding-unknown = an unknown place
mine-finding-new-device = You had not signed in on this device before.
mine-finding-new-country = You had not signed in from { $country } before.
mine-finding-new-city = You had not signed in from { $city } before.
mine-finding-new-network = You had not signed in from this network before.
mine-finding-impossible-travel = You would have had to travel { $distance } km from { $from } to { $to } faster than an aircraft.
mine-finding-old-session = { $days ->
    [one] This session is { $days } day old.
   *[other] This session is { $days } days old.
}
mine-finding-country-changed = It was opened in { $from } and is used in { $to }.
mine-finding-refresh-token-reused = Somebody has a copy of this session. It was ended.
mine-finding-refresh-token-shared = Two devices use this session at the same time. One of them may have a copy.
mine-finding-other = Something about this session is unusual.
mine-advice-end-session = Sign this session out
mine-advice-end-all-sessions = Sign out everywhere
mine-advice-change-password = Change your password
mine-advice-second-factor = Turn on a second factor
mine-advice-recent-changes = Check recent changes to your account
mine-advice-audit-log = Read the audit log

mine-confirm-title = Sign this session out?
mine-confirm-of = It is a session of { $user }.
mine-confirm-current = You leave this page at once and have to sign in again.
mine-confirm-other = It is refused at once, everywhere. What was not saved there is lost.
mine-confirm-ended = This session has ended already. There is nothing to sign out.
mine-confirm-see = See how it ended
mine-confirm-reason = Reason
mine-confirm-reason-hint = Required. It stays in the audit log, and the user does not see it.
mine-confirm-message = Text for the user
mine-confirm-message-hint = The user sees it after the sign-out.
mine-include-current = End the current one too
mine-others-lead = Every session but this one ends at once.
mine-everywhere-lead = Every session ends at once, also this one. You have to sign in again.
mine-ending = { $count ->
    [one] { $count } other session ends
   *[other] { $count } other sessions end
}
mine-ending-capped = More than { $count } other sessions end
mine-ending-unlisted = { $count ->
    [one] And { $count } more.
   *[other] And { $count } more.
}
mine-done-one = The session was signed out.
mine-done-others = All other sessions were signed out.
mine-done-everywhere = You are signed out everywhere.

mine-ended-link = Ended sessions
mine-ended-title = Ended sessions
mine-ended-lead = The newest sessions that have ended, and why.
mine-ended-none = No session has ended lately.
mine-end-user = You signed out.
mine-end-another-device = You ended it from another session.
mine-end-identity-provider = Your organization signed you out.
mine-end-administrator = An administrator ended it.
mine-end-user-disabled = An administrator disabled your account.
mine-end-refresh-token-reused = Somebody used a copy of this session, so it was ended.
mine-end-replaced = A newer sign-in on the same device took its place.
mine-end-recovery = Everybody was signed out after a recovery of the sign-in service.
mine-end-policy = It did not fit the settings of your organisation any more.
mine-end-idle = It was not used for too long.
mine-end-password-changed = Your password was changed.
mine-end-second-factor-changed = Your second factor was changed.
mine-end-session-limit = There were too many sessions, and it was the oldest.
mine-end-expired = It had reached its end.
mine-end-unknown = It has ended.

mine-signed-out-title = You are signed out
mine-signed-out-plain = There is no session on this device. Sign in to see your sessions.
mine-signed-in-title = You are signed in
mine-signed-in = This session has not ended.
mine-message = The message for you:
mine-leave = Leave
mine-next-sign-in = Sign in again to go on.
mine-next-copied = Sign in again, and change your password. Then sign out every session that you do not know.
mine-next-disabled = You cannot sign in at the moment. Ask your organisation.
mine-next-another-device = If that was not you, sign in and change your password.
mine-next-administrator = You can sign in again, unless your organisation says otherwise.
