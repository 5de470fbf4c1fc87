"""Parley: live sessions in front of realtime speech models."""

__version__ = "0.1.0"
