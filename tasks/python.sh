# The Python that runs DVC, whether or not its environment is activated: `exec sh tasks/python.sh`
# in a command of dvc.yaml makes DVC's process the parent of this one. Where the system does not
# tell how that was started (no /proc), `python` is looked for on PATH.
python=$(tr '\0' '\n' <"/proc/$PPID/cmdline" | head -n 1) 2>/dev/null
case ${python##*/} in
  python*) ;;
  *) python=python ;;
esac
case $python in
  /*) ;;
  */*) python=$(cd "/proc/$PPID/cwd" && pwd -P)/$python ;; # as it was typed there
esac
exec "$python" "$@"
