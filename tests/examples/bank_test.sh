#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Transfers from several threads lose no cent and make none.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='exact$'
example bank
