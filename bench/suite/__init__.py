"""What bench/bench.py and bench/soak.py are made of:

machine.py     programs, the volume that spools and queues live on, what it is measured on
servers.py     the relay, Postfix, sinks: started for a workload and stopped with it
clients.py     load: smtp-source, bench_source, bench_sessions
probes.py      what a server costs: processor time, memory, system calls, octets and flushes of the device
report.py      rows, goals, tables
run.py         one run: temporary folder, rounds, order of the servers
workloads/     what is measured, a function for each group of rows
"""
