"""Second-round fine-tuning: no recipe of this version asks for it, so the model of `train` is kept."""

from stages import run


def main() -> None:
    from evenly.files import write_json

    write_json({"kept": "train"}, "models/finetune/model.json")


if __name__ == "__main__":
    run(main)
