#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The hello program of the README greets, and has state.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='^Hello world, visit 1$'
example hello
