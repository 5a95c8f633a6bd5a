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
# A thread for each process: sums split over more round differently, and wait for a core that is busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
export MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
exec "$python" "$@"
