"""Audio as pure computation: PCM and G.711, WAV, resampling, chunking."""
