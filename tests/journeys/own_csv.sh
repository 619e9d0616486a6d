# One's own texts in a clone: which technique helps?
git clone --quiet "$URL" evenly && cd evenly
evenly add tickets "$DATA/tickets.csv" --text body --label intent
git add datasets.yaml data/raw/tickets.csv.dvc && git commit --quiet -m "Data set tickets"
evenly advise --dataset tickets
evenly sweep random_oversampling --seeds 1 --dataset tickets -S evaluate.robustness=false -S evaluate.bootstrap=200
evenly compare --rules
