"""Signature Version 4: requests that are signed with an AWS access key, and their events."""
