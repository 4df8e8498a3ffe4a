import CAgent
import CProbe

exit(cprobe_main(cagent_argument_count(), cagent_arguments()))
