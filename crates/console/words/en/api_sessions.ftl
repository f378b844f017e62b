# API sessions: the keys of programs.

api-title = API sessions
api-lead = Keys of programs in { $tenant }. A key is not a sign-in: signing its owner out does not end it, disabling the owner does.
api-caption = API keys, newest first
api-none = There is no API key.
api-none-ended = No key is active. Ended keys can be shown too.
api-read-only = You may see the keys and change nothing. An administrator may create and revoke them.
api-show-ended = Show ended keys too
api-owner-filter = Owner (user id)
api-filter = Show
api-filter-clear = Show all owners
api-new = Create a key…
api-column-key = Key
api-column-owner = Owner
api-column-last-used = Last used
api-column-requests = Requests in 24 hours
api-column-state = State
api-column-created = Created
api-column-expires = Expires
api-column-scopes = Scopes
api-never-used = Never
api-never-expires = Never
api-state-1 = Active
api-state-2 = Expired
api-state-3 = Revoked
api-state-0 = Unknown
api-scopes-none = None
api-ended = Ended { $time }
api-page-first = First page
api-page-next = Next page
api-pages = Pages
api-page-gone = This page of the list is no longer available. This is the first page.
api-sparkline =
    { $total ->
        [0] No request in the last 24 hours.
        [one] One request in the last 24 hours.
       *[other] { $total } requests in the last 24 hours, most in one hour: { $most }.
    }

# One key
api-key-title = API key { $name }
api-key-id = Key id
api-hours = Requests by hour
api-hours-caption = Requests in each hour of the last 24, oldest first
api-hours-none = No request in the last 24 hours.
api-hours-hour = Hour
api-hours-requests = Requests
api-revoke = Revoke this key…
api-back = Back to the list

# Creating
api-new-title = Create an API key
api-new-owner = Owner (user id)
api-new-owner-hint = 1 to 128 bytes. Disabling this user ends the key.
api-new-name = Name
api-new-name-hint = For people: what uses the key. 1 to 128 bytes.
api-new-scopes = Scopes
api-new-scopes-hint = Separated by spaces or lines, at most 64. Empty: none.
api-new-audiences = Audiences
api-new-audiences-hint = Separated by spaces or lines, at most 16. Empty: as the installation says.
api-new-expires = Expires after
api-expires-30 = 30 days
api-expires-90 = 90 days
api-expires-365 = 1 year
api-expires-never = Never (not recommended)
api-new-reason = Reason
api-new-reason-hint = For the audit log. At most 1,024 bytes. May stay empty.
api-new-create = Create the key
api-cancel = Cancel
api-created-title = The key was created
api-created-once = Copy the secret now. It is shown this one time: nobody can show it again, and it is stored nowhere.
api-created-secret = Secret of { $name }
api-created-use = Programs send it as “Authorization: Bearer …”. Keep it out of addresses, logs and source code.
api-created-done = I have copied it
api-again-title = This form was sent before
api-again = The key that it made was shown then, and its secret is shown once. Nothing was done now. If the secret was not copied, revoke that key and create another one.
api-again-list = Look at the keys

# Revoking
api-revoke-title = Revoke the key { $name }?
api-revoke-what = Every program that uses it is refused at every gate at once. This cannot be undone.
api-revoke-reason = Reason
api-revoke-confirm = Revoke the key
api-revoked = The key is revoked.
api-revoked-before = The key had ended before. Nothing was changed.

# Problems
api-wrong = Correct these fields. Nothing was created.
api-wrong-revoke = Correct this field. Nothing was revoked.
api-wrong-owner = Owner: enter a user id of 1 to 128 bytes, without control characters.
api-wrong-name = Name: enter 1 to 128 bytes, without control characters.
api-wrong-scopes = Scopes: at most 64 of at most 128 visible ASCII characters, without quotes and backslashes.
api-wrong-audiences = Audiences: at most 16 of at most 256 bytes.
api-wrong-expires = Choose when the key expires.
api-wrong-reason = Reason: at most 1,024 bytes, without control characters.
api-wrong-disabled = The owner is disabled. Enable them first, or choose another owner.
api-wrong-quota = The team has as many keys as it may have. Revoke one first.
api-wrong-other = The authority refused a value ({ $field }).
