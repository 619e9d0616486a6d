# A clone, from nothing to a result, and another technique beside it.
git clone --quiet "$URL" evenly && cd evenly
make run
# On another kind of CPU dvc.lock and scores.json have changed; on the same kind there is nothing to commit.
git add -A && { git diff --cached --quiet || git commit --quiet -m "First run"; }
dvc exp run -S balancing=adasyn -S train.epochs=3
dvc exp show --only-changed
dvc metrics diff main
