"""A run that was saved says in its commit what was run, and can be exported as a recipe."""

from __future__ import annotations

from tests.lab import Lab


def test_a_saved_run_is_exported_and_built_again(lab: Lab) -> None:
    lab("run", "-w", "/srv", "--save", "made", "main", "--", "sh", "-c", "echo 1 > one; echo 2 >> one")
    text = lab("export-recipe", "made").out
    assert 'RUN ["sh", "-c", "echo 1 > one; echo 2 >> one"]' in text
    (lab.path / "Dockerfile").write_text(text)
    lab("build", "--branch", "again")
    assert lab.look("again", "cat /srv/one") == "1\n2\n"


def test_variables_of_a_saved_run_are_in_no_commit(lab: Lab) -> None:
    lab("run", "-e", "A=secret", "--save", "other", "main", "--", "sh", "-c", "echo 1 > /srv/two")
    assert "secret" not in lab.git("log", "other")
    assert "run sh -c" in lab("export-recipe", "other", status=3).out
