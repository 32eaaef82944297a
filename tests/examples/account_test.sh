#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The account of the example has its default owner, refuses in words, and speaks JSON and C.
set -eu
. "$(dirname "$0")/run_example.sh"

for WANTED in '^\{"balance":500,"owner":"nobody"\}$' \
    '^account/alice withdraw: balance 500 is below 501$' \
    '^account/alice withdraw: amount: field cents: expected an integer, got a string' \
    '^nobody has 380$'; do
    example account
done
