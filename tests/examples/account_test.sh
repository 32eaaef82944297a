#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The account of the example has its default owner, refuses in words, speaks JSON and C, and is there
# when the program runs again.
set -eu
. "$(dirname "$0")/run_example.sh"

for WANTED in '^\{"balance":500,"owner":"nobody"\}$' \
    '^account/alice withdraw: balance 500 is below 1000000$' \
    '^account/alice withdraw: amount: field cents: expected an integer, got a string' \
    '^nobody has 380$'; do
    example account
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for WANTED in '^nobody has 380$' '^nobody has 760$' '^nobody has 1140$'; do
    example account "sqlite:$folder/account.db"
done
