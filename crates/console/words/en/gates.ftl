# The gates: where the sessions are enforced.

gates-title = Gates
gates-lead = Every place that admits requests, and how closely it follows this authority.
gates-caption = Connected gates
gates-none = No gate is connected.
gates-denied = Only the operators of the installation see the gates.
gates-denied-why = Gates serve every team, and their names and addresses say how the installation is built. Administrators of the team in server.operators_tenant may see them here, and operators by “portcullis gates list”.
gates-denied-count = { $confirmed } of { $gates } gates have applied the newest change that you may see.
gates-denied-receipt = You see their number on the receipt of every sign-out: how many gates have confirmed it, and in how many milliseconds.
gates-head = Head of the log: revision { $revision }
gates-of-one = A gate that follows two authorities has a line for each.
gates-partial = The gates of other authorities could not be read. These are those of the authority that answered.
gates-omitted = { $count } more streams are not listed.
gates-column-name = Name
gates-column-version = Version
gates-column-replica = Authority
gates-column-address = Address
gates-column-mode = Mode
gates-column-fresh = Fresh as of
gates-column-lag = Behind
gates-column-skew = Clock
gates-column-streams = Streams
gates-column-connected = Connected
gates-mode-1 = Strict
gates-mode-2 = Best effort
gates-mode-0 = Unknown
gates-mode-2-why = No bound holds for it: it goes on admitting when it is cut off.
gates-lag =
    { $count ->
        [0] Up to date
        [one] One revision behind
       *[other] { $count } revisions behind
    }
gates-stale = Stale
gates-fresh = Fresh
gates-unproven = No proof yet
gates-unknown = Unknown
gates-ago = { $milliseconds } ms ago
gates-bound = { $milliseconds } ms
gates-skew = { $milliseconds } ms
gates-delays = From revoked to enforced
gates-delays-hint = Once a minute the authority opens a session of its own, ends it, and measures when each gate has dropped it. These are the delays of the last hour.
gates-delays-caption = Delays of the last hour
gates-delays-none = There is no measurement yet.
gates-delays-median = Median
gates-delays-p99 = 99th percentile
gates-delays-most = Slowest
gates-delays-missed = Later than the gate’s bound
gates-delays-up-to = Up to { $milliseconds } ms
gates-delays-range = Delay
gates-delays-gates = Measurements
gates-delays-chart = { $count } measurements: median { $median } ms, slowest { $most } ms.
gates-refresh = Refresh
