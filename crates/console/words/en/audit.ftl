# The audit log of the team.

audit-title = Audit log
audit-lead = Every change in { $tenant }, newest first. Nobody can change or remove an entry.
audit-caption = Events, newest first
audit-none = No event matches.
audit-column-when = When
audit-column-who = Who
audit-column-what = What
audit-column-whom = Whom
audit-column-where = From where
audit-column-why = Why
audit-column-revision = Revision
audit-via = by { $service }
audit-authority = The authority
audit-service = Service { $name }
audit-somebody = Somebody else
audit-message = Text for the user: { $message }
audit-details = Details
audit-user = User { $user }
audit-own-title = Events about you
audit-own-lead = What was done to your account and your sessions, newest first. Who else did something, and their reason, is not shown.
audit-filter-title = Find events
audit-filter-action = What
audit-filter-any = Anything
audit-filter-actor-kind = Who: kind
audit-filter-actor = Who: user id or name of the service
audit-actor-user = A user
audit-actor-service = A service
audit-actor-idp = An identity provider
audit-actor-authority = The authority itself
audit-filter-user = Whom (user id)
audit-filter-after = From day
audit-filter-before = To day, inclusive
audit-filter = Search
audit-filter-clear = Show everything
audit-pages = Pages
audit-page-first = First page
audit-page-next = Older events
audit-page-gone = This page of the list is no longer available. This is the first page.
audit-wrong = Correct these fields. Nothing was searched.
audit-wrong-actor = Who: choose the kind, and enter a user id or the name of a service.
audit-wrong-user = Whom: enter a user id of at most 128 bytes.
audit-wrong-day = Enter a valid date. The beginning must not be later than the end.
audit-wrong-action = This kind of event is not known.

# Kinds of events
audit-action-session-create = Signed in
audit-action-session-refuse = Sign-in refused
audit-action-session-revoke = Session ended
audit-action-finding-country-changed = Suspicious: used in another country
audit-action-finding-old-session = Suspicious: a very old session
audit-action-finding-refresh-token-reused = Suspicious: a refresh token used again
audit-action-finding-refresh-token-shared = Suspicious: a refresh token in two clients
audit-action-user-sign-out = User signed out
audit-action-user-sign-out-others = Other sessions of a user ended
audit-action-user-disable = User disabled
audit-action-user-enable = User enabled again
audit-action-user-set-roles = Roles changed
audit-action-user-erase = User erased
audit-action-tenant-sign-out = Whole team signed out
audit-action-policy-update = Settings changed
audit-action-api-key-create = API key created
audit-action-api-key-revoke = API key revoked

# Export
audit-export = Export
audit-export-hint = Exports every event that the filter matches, up to { $max }, newest first.
audit-export-jsonl = Export as JSON lines
audit-export-csv = Export as CSV

# Verification
audit-verify = Verify the trail
audit-verify-hint = Computes the chain of all entries anew and compares it with the log.
audit-verify-title = Verification of the trail
audit-verify-good = The trail is complete and unchanged.
audit-verify-good-detail = All { $verified } revisions match their chain, up to revision { $head }.
audit-verify-part = Everything that was looked at matches so far.
audit-verify-part-detail = Verified up to revision { $through } of { $head }.
audit-verify-continue = Go on from here
audit-verify-bad = The trail was changed.
audit-verify-bad-detail = The first place that does not match is revision { $revision }. Keep the database as it is, and tell the operators of the installation.
audit-verify-bad-event = Event { $event }, number { $ordinal }
audit-verify-denied = Only the operators of the installation can verify the trail.
audit-verify-denied-why = One chain covers the events of every team, so its verification is not the affair of one team. Ask the operators. They run “portcullis audit verify”, or name your team in server.operators_tenant.
audit-back = Back to the log
