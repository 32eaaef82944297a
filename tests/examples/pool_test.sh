#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Outside threads are served right while turns block in the node's pool.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='^200 of 200 results are right'
example pool
