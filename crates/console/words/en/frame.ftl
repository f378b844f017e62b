# What every page has.

frame-product = Portcullis
frame-skip = Skip to the content
frame-navigation = Main
frame-signed-in-as = Signed in as
frame-zone = Times are in { $zone }.
frame-language = Language
frame-theme = Theme
frame-theme-auto = As the system
frame-theme-light = Light
frame-theme-dark = Dark
frame-apply = Apply

frame-room-mine = My sessions
frame-room-team = Team
frame-room-settings = Settings
frame-room-api-sessions = API sessions
frame-room-audit = Audit log
frame-room-gates = Gates

frame-cancel = Cancel
frame-back = Back
frame-refresh = Refresh
frame-next-page = Next page
frame-first-page = First page
frame-unknown = Unknown
frame-none = None

frame-time-now = just now
frame-time-minutes-ago = { $count ->
    [one] { $count } minute ago
   *[other] { $count } minutes ago
}
frame-time-hours-ago = { $count ->
    [one] { $count } hour ago
   *[other] { $count } hours ago
}
frame-time-days-ago = { $count ->
    [one] { $count } day ago
   *[other] { $count } days ago
}
frame-time-in-minutes = { $count ->
    [one] in { $count } minute
   *[other] in { $count } minutes
}
frame-time-in-hours = { $count ->
    [one] in { $count } hour
   *[other] in { $count } hours
}
frame-time-in-days = { $count ->
    [one] in { $count } day
   *[other] in { $count } days
}
frame-length-seconds = { $count ->
    [one] { $count } second
   *[other] { $count } seconds
}
frame-length-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
frame-length-hours = { $count ->
    [one] { $count } hour
   *[other] { $count } hours
}
frame-length-days = { $count ->
    [one] { $count } day
   *[other] { $count } days
}

frame-receipt = { $gates ->
    [0] No gate is connected. It is refused wherever one connects.
    [one] { $dropped } of { $gates } gate has dropped it, { $milliseconds } ms after the order.
   *[other] { $dropped } of { $gates } gates have dropped it, { $milliseconds } ms after the order.
}
frame-receipt-complete = { $gates ->
    [0] No gate is connected. It is refused wherever one connects.
    [one] The gate has dropped it, within { $milliseconds } ms.
   *[other] All { $gates } gates have dropped it, within { $milliseconds } ms.
}

frame-receipt-all = { $gates ->
    [0] No gate is connected. It is refused wherever one connects.
    [one] The gate has dropped it.
   *[other] All { $gates } gates have dropped it.
}

frame-problem-sign-in = Please sign in again
frame-problem-sign-in-advice = Your session is not valid any more, or has expired. Nothing was changed. Sign in, and you come back to this page.
frame-problem-sign-in-link = Sign in
frame-problem-recent = Please confirm that it is you
frame-problem-recent-advice = Your organisation asks for a recent sign-in before this. Nothing was changed. Sign in again, and you come back to this page.
frame-problem-ended = This session has ended
frame-problem-ended-advice = Nothing was changed. The next page says how the session ended, and what you can do.
frame-problem-ended-link = See why
frame-problem-denied = You may not do this
frame-problem-denied-advice = Your role does not include it. Nothing was changed. Ask an administrator of your organisation.
frame-problem-forbidden = Your organisation does not allow this
frame-problem-forbidden-advice = A setting of your organisation forbids it. Nothing was changed. Ask an administrator.
frame-problem-foreign = This request came from another site
frame-problem-foreign-advice = Nothing was changed. If you wanted this, do it on a page of this console.
frame-problem-outdated = This form is out of date
frame-problem-outdated-advice = It belongs to another session, or was opened before an update. Nothing was changed. Open the page again and repeat it.
frame-problem-not-found = There is nothing here
frame-problem-not-found-advice = The address is wrong, or what was here has been removed, or it is not yours to see.
frame-problem-method = This address has no such form
frame-problem-method-advice = Open the page first, and use its buttons.
frame-problem-invalid = This cannot be understood
frame-problem-invalid-advice = A field or an address has a value that does not fit. Nothing was changed. Go back, correct it, and send it again.
frame-problem-too-large = This is too much text
frame-problem-too-large-advice = Nothing was changed. Go back, shorten it, and send it again.
frame-problem-conflict = Somebody was faster
frame-problem-conflict-advice = It has been changed since you opened the page. Nothing was changed now. Open the page again to see how it is.
frame-problem-old-page = This list has moved on
frame-problem-old-page-advice = The page is of an earlier list. Begin with the first page.
frame-problem-last-administrator = Somebody has to stay administrator
frame-problem-last-administrator-advice = This would leave your organisation without one. Nothing was changed. Make somebody else an administrator first.
frame-problem-own-account = Not for your own account
frame-problem-own-account-advice = Administrators can neither disable themselves nor change their own roles. Nothing was changed. Ask another administrator.
frame-problem-too-many = Too many requests
frame-problem-too-many-advice = Nothing was changed. Wait a few seconds, and try again.
frame-problem-too-slow = This search takes too long
frame-problem-too-slow-advice = Nothing was changed. Narrow it, for example by a name or a shorter time.
frame-problem-away = The sign-in service is away
frame-problem-away-advice = It cannot be reached at the moment. Sessions stay as they are. This page tries again by itself every few seconds.
frame-problem-away-form-advice = It does not answer at the moment, so it is not known whether the change was made. Open the page again to see. Repeating it does no harm.
frame-problem-again-link = Try again
frame-problem-internal = Something went wrong
frame-problem-internal-advice = This is a fault of the console or of the sign-in service, and was recorded. Look at what was changed before you repeat it.
frame-problem-home-link = To my sessions
