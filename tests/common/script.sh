#!/bin/sh
# Runs a script of the test in place of a hook or of snapctl. A test cannot execute a file that it has
# just written while another test forks (ETXTBSY).
case $0 in
*/snapctl) eval "$SNAPCTL_SCRIPT" ;;
*) eval "$HOOK_SCRIPT" ;;
esac
