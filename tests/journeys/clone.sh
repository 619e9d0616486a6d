# A clone, from nothing to a result, and another technique beside it.
git clone --quiet "$URL" evenly && cd evenly
make run
git add -A && git commit --quiet -m "First run"
dvc exp run -S balancing=adasyn
dvc exp show --only-changed
dvc metrics diff main
