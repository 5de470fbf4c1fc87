"""The gateway against the real vLLM (`make test-vllm`); a plain `pytest` run leaves this folder out."""
