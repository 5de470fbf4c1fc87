"""The embedded model server: vLLM's realtime protocol over a CPU speech recogniser."""
