from training import micro_run

from finetune.rundir import RunDir
from finetune.training.log import Journal


def row(step):
    return {"step": step, "loss": 1.0}


def test_a_resume_cuts_what_will_be_done_again(tmp_path):
    run = RunDir(tmp_path)
    journal = Journal(run, tmp_path, 0)
    for step in (1, 2, 3, 4):
        journal.step(row(step))
    journal.validation({"step": 2, "metric": "accuracy", "value": 0.5, "best": True})
    journal.validation({"step": 4, "metric": "accuracy", "value": 0.6, "best": True})
    journal = Journal(run, tmp_path, 3)
    journal.step(row(4))
    assert [line["step"] for line in micro_run.lines(tmp_path / "log.jsonl")] == [1, 2, 3, 4]
    assert [line["step"] for line in micro_run.lines(tmp_path / "validation.jsonl")] == [2]


def test_a_line_that_a_kill_cut_in_two_is_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    Journal(RunDir(tmp_path), tmp_path, 5)
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "loss": 1.0}\n'


def test_progress_goes_to_standard_error(tmp_path, capsys):
    journal = Journal(RunDir(tmp_path), tmp_path, 0)
    journal.begin(2)
    journal.step(row(1))
    journal.validation({"step": 1, "metric": "accuracy", "value": 0.5, "best": True})
    journal.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "validation accuracy 0.500, the best so far" in captured.err
    assert "1/2" in captured.err
