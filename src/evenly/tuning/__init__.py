"""Learning what to augment: a search over the settings of a recipe against a metric of the validation rows.

`space` says what may vary, `defaults` what does where nobody says it, `candidates` make a recipe of one
choice, with a policy of `policies`. `studies` remember the trials and propose the next, `workbench` runs them
as DVC experiments, `scores` read what came out, and `search` is the loop. `gains` say how much better the
best is, `verdicts` say it in words, `entries` write the recipe, and `terminal` shows it all. Importing this
package imports none of them.
"""
