import CAgent

exit(0)
