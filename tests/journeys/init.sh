# In a repository of one's own, which has other things in it: from `pip install` to a comparison.
git init --quiet mine && cd mine
echo "print('ours')" > ours.py && echo "*.log" > .gitignore
git add -A && git commit --quiet -m "Ours"

evenly init
git add .dvc .dvcignore .evenly .gitignore data datasets.yaml dvc.yaml params.yaml prompts stages
git commit --quiet -m "Begin with evenly"

evenly add tickets "$DATA/tickets.csv" --label intent
git add datasets.yaml data/raw/tickets.csv.dvc && git commit --quiet -m "Data set tickets"
evenly advise --dataset tickets
dvc exp run -S dataset=tickets
evenly summary
git add -A && git commit --quiet -m "First run"
dvc exp run --queue -S balancing=random_oversampling
dvc exp run --run-all
evenly sweep random_oversampling --seeds 42 --dataset tickets
evenly compare
evenly predict models/train "$DATA/tickets.csv" --output predictions.csv
evenly export HEAD handed_over
evenly doctor
