#define _GNU_SOURCE
#include "cagent.h"

int cagent_errno(void) { return errno; }
