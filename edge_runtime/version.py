"""The version of cellgate, as every command, record and report states it."""

__version__ = "0.1.0"
