#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Everybody in the room hears the same conversation, each speaker in order.
set -eu
. "$(dirname "$0")/run_example.sh"

WANTED='as spoken$'
example chat
