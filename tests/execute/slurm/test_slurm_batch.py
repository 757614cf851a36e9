"""What sbatch is asked for, against its manual page; the script is run by bash in place of SLURM."""

import os
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.execute import slurm_batch as batch
from harness.execute.engine import Refused
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources


def asked(resources: Resources, settings: SlurmSettings | None = None, tasks: int = 3) -> set[str]:
    settings = settings or SlurmSettings()
    return set(batch.options(resources, settings, tasks=tasks, name="harness-1", folder=Path("/store/slurm")))


def test_what_is_not_declared_is_left_to_the_site() -> None:
    assert asked(Resources()) == {
        *("--parsable", "--requeue", "--array=0-2", "--job-name=harness-1", "--chdir=/store/slurm"),
        *("--output=slurm-%A_%a.out", "--open-mode=append", "--export=ALL", "--nodes=1", "--ntasks=1"),
        *("--cpus-per-task=1", "--signal=B:USR2@60"),
    }


def test_every_setting_is_one_option() -> None:
    settings = SlurmSettings(
        partition="gpu,long",
        account="me@lab",
        qos="high",
        constraint="a100&nvlink",
        reservation="course:1",
        gpu_type="a100",
        at_once=2,
        warning_seconds=120,
    )
    found = asked(Resources(gpus=4), settings)
    assert found >= {
        *("--array=0-2%2", "--partition=gpu,long", "--account=me@lab", "--qos=high", "--constraint=a100&nvlink"),
        *("--reservation=course:1", "--gres=gpu:a100:4", "--signal=B:USR2@120"),
    }


@pytest.mark.parametrize(
    ("resources", "options"),
    [
        (Resources(gpus=2, cpus=4, memory_gib=8), {"--gres=gpu:2", "--cpus-per-task=4", "--mem=8192M"}),
        # a quarter of a device: four runs in a task, with four times the cores and the memory
        (Resources(gpus=0.25, cpus=4, memory_gib=0.3), {"--gres=gpu:1", "--cpus-per-task=16", "--mem=1232M"}),
        (Resources(minutes=60), {"--time=62"}),  # 60 min + 20 s of grace + 60 s of warning = 61.3
        (Resources(minutes=0.5, grace_seconds=0), {"--time=2"}),  # 1.5
    ],
)
def test_resources_become_options(resources: Resources, options: set[str]) -> None:
    assert asked(resources) >= options


def test_the_script_gives_each_task_its_jobs_and_makes_way_for_the_worker(tmp_path: Path) -> None:
    names = ["a b", "$(touch x)", "'\";", "-n", "*"]
    jobs = [tmp_path / name for name in names]
    listed, script = tmp_path / "a list", tmp_path / "script"
    listed.write_bytes(batch.listed([jobs[:2], jobs[2:4], jobs[4:]]))
    script.write_text(batch.script(SlurmSettings()))
    for task, expected in enumerate((jobs[:2], jobs[2:4], jobs[4:])):
        command = [
            "bash",
            str(script),
            str(listed),
            "2",
            "python3",
            "-c",
            "import os,sys; print(os.getpid(), sys.argv)",
        ]
        environment = {"SLURM_ARRAY_TASK_ID": str(task), "PATH": os.environ["PATH"]}
        with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate()
        assert said == f"{process.pid} {['-c', *map(str, expected)]}\n"
    assert not (tmp_path / "x").exists()


def test_a_task_without_jobs_says_so(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(batch.script(SlurmSettings()))
    ended = subprocess.run(
        ["bash", str(script), str(tmp_path / "nowhere"), "1", "echo", "never"],
        env={"SLURM_ARRAY_TASK_ID": "4", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (78, "")
    assert "nowhere has no job for task 4. Is the store visible on" in ended.stderr


def test_setup_comes_before_the_worker_and_never_before_sbatch_has_stopped_reading_options() -> None:
    text = batch.script(SlurmSettings(setup=("module load cuda", "#SBATCH --partition=other")))
    lines = text.splitlines()
    assert lines.index("shift 2") < lines.index("module load cuda") < lines.index('exec "$@" "${jobs[@]}"')
    commands = [line for line in lines if line and not line.startswith("#")]
    assert lines.index(commands[0]) < lines.index("#SBATCH --partition=other")  # options after a command are ignored


def test_what_goes_along_is_named_and_is_no_secret() -> None:
    goes = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "PYTHONPATH": "/src",
        "VIRTUAL_ENV": "/venv",
        "HF_HOME": "/models",
        "XDG_CACHE_HOME": "/cache",
        "LD_LIBRARY_PATH": "/cuda/lib64",
        "MODULEPATH": "/modules",
        "BASH_FUNC_module%%": "() { :; }",
        "SLURM_CONF": "/etc/slurm/slurm.conf",
        "NCCL_DEBUG": "INFO",
        "WANDB_PROJECT": "ranks",
        "HARNESS_SCRATCH": "/local",
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AWS_ENDPOINT_URL_S3": "http://minio:9000",
        "AWS_PROFILE": "lab",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CA_BUNDLE": "/etc/ca.pem",
    }
    stays = {
        **dict.fromkeys(("HF_TOKEN", "WANDB_API_KEY", "VLLM_API_KEY"), "secret"),
        **dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "FSSPEC_S3_KEY"), "secret"),
        **dict.fromkeys(("SBATCH_PARTITION", "SLURM_JOB_ID", "SLURM_JWT", "SQUEUE_FORMAT", "SCANCEL_STATE"), "other"),
        **dict.fromkeys(("CUDA_VISIBLE_DEVICES", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "https_proxy"), "other"),
        **dict.fromkeys(("BASH_FUNC_other%%", "DATABASE_URL", "PATHS", "OLDPATH", "MASTER_PORT"), "other"),
    }
    assert batch.environment({**goes, **stays}) == goes
    assert batch.environment({"AWS_ENDPOINT_URL": "http://me:hunter2@minio:9000", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_paths_that_slurm_would_misread_are_refused() -> None:
    with pytest.raises(Refused, match="a line break"):
        batch.listed([[Path("/store/a\nb")]])
    for folder in ("/store/100%", "/store/a\\b", "/store/a\nb"):
        with pytest.raises(Refused, match="as patterns"):
            batch.check_folder(Path(folder))


@pytest.mark.parametrize("value", ["--wrap=touch x", "-x", "low;touch x", "$(touch x)", "a b", "low\n--wrap=x", "`x`"])
@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint", "reservation", "gpu_type"])
def test_settings_that_are_no_names_are_not_read(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=field):
        SlurmSettings.model_validate({field: value})
