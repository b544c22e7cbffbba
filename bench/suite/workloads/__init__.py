"""What is measured: name for --only -> function(run). In this order."""
from . import accepting, costs, engines, filters, forwarding, full_spool, instances, mailbox, profile, sessions

all_workloads = {
    'w1': accepting.new_connections,
    'w2': accepting.reused_connections,
    'w3': accepting.large_messages,
    'w4': forwarding.drain,
    'w4-latency': forwarding.drain_far_away,
    'w5': forwarding.store_and_forward,
    'w5-latency': forwarding.submit_to_arrival,
    'w6': sessions.memory,
    'w7': sessions.handshakes,
    'noop': sessions.noop_beside_handshakes,
    'w8': full_spool.full_spool,
    'costs': costs.costs,
    'profile': profile.profile,
    'filters': filters.filters,
    'pop': mailbox.mailbox,
    'instances': instances.instances,
    'engines': engines.engines,
}
