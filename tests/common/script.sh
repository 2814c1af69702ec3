#!/bin/sh
# Runs a script of the test in place of a hook or of snapctl. A file that the test itself had just written could not
# be executed while another test forks (ETXTBSY).
case $0 in
*/snapctl) eval "$SNAPCTL_SCRIPT" ;;
*) eval "$HOOK_SCRIPT" ;;
esac
