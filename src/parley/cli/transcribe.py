"""`parley transcribe`: recordings, a pipe or the microphone through a server, as text, JSON or captions."""

from pathlib import Path

import click

from parley.cli.failure import Misuse
from parley.cli.tls_options import TlsChoice, tls_options

DEFAULT_URL = "ws://127.0.0.1:8080"
FORMATS = ("json", "srt", "vtt")


@click.command("transcribe", no_args_is_help=True)
@click.argument("inputs", nargs=-1, metavar="[FILE|-]...")
@click.option("--mic", is_flag=True, help="Transcribe the microphone until Ctrl-C.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=(DEFAULT_URL,),
    show_default=True,
    envvar="PARLEY_URL",
    metavar="URL",
    help="Server; given again, more of them, between which sessions move; or PARLEY_URL, with spaces between.",
)
@click.option("--model", default="", metavar="NAME", help="Model to ask for; any, when not given.")
@click.option("--content-type", metavar="TYPE", help="What raw samples are, as 'audio/pcm;rate=8000;channels=2'.")
@click.option(
    "--pace", type=click.Choice(["fast", "real"]), default="fast", help="As fast as the server takes it, or as spoken."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a recording, with times and counts.")
@click.option("--srt", "as_srt", is_flag=True, help="Captions as SubRip.")
@click.option("--vtt", "as_vtt", is_flag=True, help="Captions as WebVTT.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="PATH", help="File to write, or directory for several."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@tls_options
def command(
    inputs: tuple[str, ...],
    mic: bool,
    urls: tuple[str, ...],
    model: str,
    content_type: str | None,
    pace: str,
    as_json: bool,
    as_srt: bool,
    as_vtt: bool,
    output: Path | None,
    quiet: bool,
    tls: TlsChoice,
) -> int:
    """Transcribe recordings, standard input (-) or the microphone.

    WAV is read as it is, other formats through ffmpeg. Several recordings are transcribed one after another, each in a
    session of its own. The key for a server that wants one comes from PARLEY_API_KEY.
    """
    chosen = [name for name, given in zip(FORMATS, (as_json, as_srt, as_vtt), strict=True) if given]
    if len(chosen) > 1:
        raise Misuse(f"wrong-usage: --{chosen[0]} and --{chosen[1]} exclude each other; run the command twice.")
    if mic == bool(inputs):
        raise Misuse("wrong-usage: name recordings, - for standard input, or --mic; one of them.")
    if inputs.count("-") > 1:
        raise Misuse("wrong-usage: standard input (-) can be read once.")
    form = chosen[0] if chosen else "text"
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli.transcribing import Job, Transcribing, run
    from parley.cli.writing import Writer

    writer = Writer(form, output, inputs or ("microphone",))
    job = Job(
        inputs=inputs,
        uses_microphone=mic,
        urls=urls,
        model=model,
        content_type=content_type,
        is_paced=pace == "real",
        needs_times=form != "text",
        is_quiet=quiet,
        tls=tls,
    )
    return run(Transcribing(job, writer))
