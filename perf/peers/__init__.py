"""The contenders: one file a tool, which returns a Contender; its configuration template lies beside it.

Peers get what their own manuals advise for this job: one worker, the same core, kept upstream
connections, X-Forwarded-* set (the gateway sets them always), and a log only where the gateway logs.
"""
