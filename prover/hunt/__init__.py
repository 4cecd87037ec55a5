"""The under-constraint hunt: forged witnesses by the thousand, and which relation notices which."""
