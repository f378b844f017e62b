# API sessions: the keys of programs.

api-sessions-title = API sessions
api-sessions-lead = Keys of programs in { $tenant }. A key is not a sign-in: signing its owner out does not end it, disabling the owner does.
api-sessions-caption = API keys, newest first
api-sessions-none = There is no API key.
api-sessions-none-ended = No key is active. Ended keys can be shown too.
api-sessions-read-only = You may see the keys and change nothing. An administrator may create and revoke them.
api-sessions-show-ended = Show ended keys too
api-sessions-owner-filter = Owner (user id)
api-sessions-filter = Show
api-sessions-filter-clear = Show all owners
api-sessions-new = Create a key…
api-sessions-column-key = Key
api-sessions-column-owner = Owner
api-sessions-column-last-used = Last used
api-sessions-column-requests = Requests in 24 hours
api-sessions-column-state = State
api-sessions-column-created = Created
api-sessions-column-expires = Expires
api-sessions-column-scopes = Scopes
api-sessions-never-used = Never
api-sessions-never-expires = Never
api-sessions-state-1 = Active
api-sessions-state-2 = Expired
api-sessions-state-3 = Revoked
api-sessions-state-0 = Unknown
api-sessions-scopes-none = None
api-sessions-ended = Ended { $time }
api-sessions-page-first = First page
api-sessions-page-next = Next page
api-sessions-pages = Pages
api-sessions-page-gone = This page of the list is no longer available. This is the first page.
api-sessions-sparkline =
    { $total ->
        [0] No request in the last 24 hours.
        [one] One request in the last 24 hours.
       *[other] { $total } requests in the last 24 hours, most in one hour: { $most }.
    }

# One key
api-sessions-key-title = API key { $name }
api-sessions-key-id = Key id
api-sessions-hours = Requests by hour
api-sessions-hours-caption = Requests in each hour of the last 24, oldest first
api-sessions-hours-none = No request in the last 24 hours.
api-sessions-hours-hour = Hour
api-sessions-hours-requests = Requests
api-sessions-revoke = Revoke this key…
api-sessions-back = Back to the list

# Creating
api-sessions-new-title = Create an API key
api-sessions-new-owner = Owner (user id)
api-sessions-new-owner-hint = 1 to 128 bytes. Disabling this user ends the key.
api-sessions-new-name = Name
api-sessions-new-name-hint = For people: what uses the key. 1 to 128 bytes.
api-sessions-new-scopes = Scopes
api-sessions-new-scopes-hint = Separated by spaces or lines, at most 64. Empty: none.
api-sessions-new-audiences = Audiences
api-sessions-new-audiences-hint = Separated by spaces or lines, at most 16. Empty: as the installation says.
api-sessions-new-expires = Expires after
api-sessions-expires-30 = 30 days
api-sessions-expires-90 = 90 days
api-sessions-expires-365 = 1 year
api-sessions-expires-never = Never (not recommended)
api-sessions-new-reason = Reason
api-sessions-new-reason-hint = For the audit log. At most 1,024 bytes. May stay empty.
api-sessions-new-create = Create the key
api-sessions-cancel = Cancel
api-sessions-created-title = The key was created
api-sessions-created-once = Copy the secret now. It is shown this one time: nobody can show it again, and it is stored nowhere.
api-sessions-created-secret = Secret of { $name }
api-sessions-created-use = Programs send it as “Authorization: Bearer …”. Keep it out of addresses, logs and source code.
api-sessions-created-done = I have copied it
api-sessions-again-title = This form was sent before
api-sessions-again = The key that it made was shown then, and its secret is shown once. Nothing was done now. If the secret was not copied, revoke that key and create another one.
api-sessions-again-list = Look at the keys

# Revoking
api-sessions-revoke-title = Revoke the key { $name }?
api-sessions-revoke-what = Every program that uses it is refused at every gate at once. This cannot be undone.
api-sessions-revoke-reason = Reason
api-sessions-revoke-confirm = Revoke the key
api-sessions-revoked = The key is revoked.
api-sessions-revoked-before = The key had ended before. Nothing was changed.

# Problems
api-sessions-wrong = Correct these fields. Nothing was created.
api-sessions-wrong-revoke = Correct this field. Nothing was revoked.
api-sessions-wrong-owner = Owner: enter a user id of 1 to 128 bytes, without control characters.
api-sessions-wrong-name = Name: enter 1 to 128 bytes, without control characters.
api-sessions-wrong-scopes = Scopes: at most 64 of at most 128 visible ASCII characters, without quotes and backslashes.
api-sessions-wrong-audiences = Audiences: at most 16 of at most 256 bytes.
api-sessions-wrong-expires = Choose when the key expires.
api-sessions-wrong-reason = Reason: at most 1,024 bytes, without control characters.
api-sessions-wrong-disabled = The owner is disabled. Enable them first, or choose another owner.
api-sessions-wrong-quota = The team has as many keys as it may have. Revoke one first.
api-sessions-wrong-other = The authority refused a value ({ $field }).
