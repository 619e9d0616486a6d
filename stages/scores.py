"""Scores: the few numbers of a run that a person decides by, in a file that git keeps."""

from stages import run

#: What `rule` is called: short, since `dvc exp show` gives it a column.
SHORT = {
    "argmax": "argmax",
    "logit_adjustment": "prior",
    "logit_adjustment_uniform": "uniform",
    "temperature": "scaled",
    "tuned_thresholds": "tuned",
}


def main() -> None:
    import json

    from evenly.files import read_json, reading, write_text

    with reading("metrics/evaluate.json or models/rules.json"):
        found, chosen = read_json("metrics/evaluate.json"), read_json("models/rules.json")["chosen"]
        test = found["test"]
        scores = {
            "f1": test["macro_f1"],
            "low": test["macro_f1_low"],
            "high": test["macro_f1_high"],
            "rare_ap": test.get("rare_average_precision"),
            "rare_recall": test.get("rare_recall"),
            "nll": test["nll"],
            "ece": test["calibration_error"],
        }
        scores = {name: round(value, 3) for name, value in scores.items() if value is not None}
        made = sum(values["rows"] for origin, values in found["by_origin"].items() if origin != "real")
        content = {**scores, "rule": SHORT[chosen], "made": made}
    write_text(json.dumps(content, indent=2) + "\n", "scores.json")  # in this order, which DVC keeps
    print(", ".join(f"{name} {value}" for name, value in scores.items()))


if __name__ == "__main__":
    run(main)
