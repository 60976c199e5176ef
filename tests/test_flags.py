import re
from pathlib import Path

import pytest

from tests.shared import shared
from webui.contract.request import FIELDS
from webui.flags import ACCEPTED, COMMANDS, MACHINE, PAGE, PLACES, Flags, help_text, parse


def test_without_a_word_the_page_starts_on_this_machine_only():
    flags = parse([])
    assert flags == Flags()
    assert (flags.command, flags.port, flags.address, flags.is_reachable) == ("", 7860, "127.0.0.1", False)


def test_our_name_and_the_conventions_are_the_same_flag():
    assert parse(["--auth", "ann:secret"]) == parse(["--gradio-auth", "ann:secret"]) == parse(["--api-auth=ann:secret"])
    assert parse(["--cpu"]) == parse(["--use-cpu", "all"]) == parse(["--use-cpu=all"]) == parse(["--use-cpu", "vae", "all"])
    assert parse(["--host", "::1"]) == parse(["--server-name", "::1"])
    assert parse(["--checkpoint", "x"]) == parse(["--ckpt", "x"])


@pytest.mark.parametrize(
    "argv, reachable",
    [
        (["--listen"], True), (["--share"], True), (["--host", "0.0.0.0"], True), (["--host", "box.lan"], True),
        (["--host", "::"], True), (["--host", "127.0.0.2"], False), (["--host", "localhost"], False), (["--host", "::1"], False),
    ],
)  # fmt: skip
def test_it_is_known_whether_others_can_reach_the_page(argv, reachable):
    assert parse(argv).is_reachable is reachable


def test_several_logins_may_be_given_and_passwords_may_hold_anything():
    flags = parse(["--auth", "ann:a:b,bob:x,y", "--auth", "eve:1"])
    assert flags.auth == (("ann", "a:b"), ("bob", "x,y"), ("eve", "1"))
    assert "a:b" not in repr(flags)


def test_logins_can_come_from_a_file(tmp_path):
    file = tmp_path / "logins"
    file.write_text("ann:one\n\nbob:two, eve:three\n")
    assert parse(["--auth-file", str(file)]).auth == (("ann", "one"), ("bob", "two"), ("eve", "three"))


def test_folders_add_up_under_the_name_they_have_in_models(tmp_path):
    more = ["--data-dir", "data", "--models-dir", "/m"]
    flags = parse(["--ckpt-dir", str(tmp_path), "--ckpt-dir", "here", "--lora-dir", "~/loras", *more])
    assert flags.folders == {"Stable-diffusion": (tmp_path, Path.cwd() / "here"), "Lora": (Path.home() / "loras",)}
    assert (flags.data_dir, flags.models_dirs) == (Path.cwd() / "data", (Path("/m"),))


def test_generate_fills_a_request():
    more = ["--cfg-scale", "6.5", "--port", "1234"]
    flags = parse(["generate", "a red sphere", "-o", "out.png", "--seed", "-1", "--steps=20", *more])
    assert flags.command == "generate"
    assert flags.request == {"prompt": "a red sphere", "seed": -1, "steps": 20, "guidance": 6.5}
    assert flags.options == {"output": Path.cwd() / "out.png"}
    assert flags.port == 1234


def test_flags_may_stand_before_the_command_and_a_prompt_behind_a_double_dash():
    flags = parse(["--data-dir", "d", "generate", "--unknown", "--", "--not a flag"])
    assert (flags.data_dir, flags.request) == (Path.cwd() / "d", {"prompt": "--not a flag"})


def test_every_option_of_generate_is_a_field_of_the_request():
    for flag in COMMANDS["generate"].request:
        assert set(flag.splits or (flag.target,)) <= set(FIELDS)
    assert set(Flags.__dataclass_fields__) >= {flag.target for flag in (*PAGE, *PLACES, *MACHINE) if not flag.folder}


def test_the_other_commands_take_their_name_and_options():
    options = parse(["bench", "loop", "--json", "b.json", "--full"]).options
    assert options == {"name": "loop", "json": Path.cwd() / "b.json", "full": True}
    assert parse(["bench"]).options == {}
    assert parse(["evaluate", "pocket", "--pictures", "20"]).options == {"name": "pocket", "pictures": 20}
    assert parse(["train", "pocket", "--minutes", "2.5"]).options == {"name": "pocket", "minutes": 2.5}
    assert parse(["list", "samplers"]).command == "list"


def test_unknown_flags_are_named_and_do_no_harm(capsys):
    flags = parse(["--foo", "bar", "baz", "--listn", "--port", "1234", "--quux=1", "-z"])
    assert flags == Flags(port=1234)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "unknown flag --foo: ignored.", "unknown flag --listn: ignored (did you mean --listen?).",
        "unknown flag --quux: ignored.", "unknown flag -z: ignored.",
    ]  # fmt: skip


def test_a_flag_without_a_meaning_here_is_accepted_with_a_word(capsys):
    assert parse(["--lowram", "--precision", "full", "--no-half", "--port", "1234"]) == Flags(port=1234)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "--lowram is not needed here: memory is managed by itself."
    assert len(said) == 3


@pytest.mark.parametrize(
    ("words", "turns"),
    [
        ("", ""), ("--medvram", "parts"), ("--always-offload-from-vram", "parts"), ("--medvram-sdxl", "large in parts"),
        ("--medvram-sdxl --medvram", "parts"), ("--medvram --lowvram", "layers"), ("--always-no-vram", "layers"),
    ],
)  # fmt: skip
def test_flags_of_other_programs_that_spare_a_cards_memory_do_so_here(words, turns, capsys):
    assert parse(words.split()).turns == turns
    assert capsys.readouterr().err == ""


def test_what_is_always_so_is_accepted_silently(capsys):
    assert parse(["--api", "--skip-install"]) == Flags()
    assert capsys.readouterr().err == ""


def test_every_flag_of_the_convention_is_known(capsys):
    text = shared("conventions.md").read_text("utf-8")
    section = text[text.index("## 4 CLI flags") : text.index("## 5 ")].replace("(-v1|-invokeai)", "").replace("(-regex)", "")
    section = section.replace("(-in-sections)", "")
    names = set(re.findall(r"--[a-z][a-z0-9-]+", section)) - {"--use-cpu"}
    known = {alias for flag in (*PAGE, *PLACES, *MACHINE) for alias in flag.names} | set(ACCEPTED)
    assert len(names) > 70
    assert names <= known


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--port", "abc"], ["--port abc", "whole number", "65535"]),
        (["--port", "70000"], ["--port 70000", "65535"]),
        (["--port"], ["--port needs a value"]),
        (["--port", "--listen"], ["--port needs a value"]),
        (["--auth", "secret"], ["--auth", "user:password"]),
        (["--auth", ":secret"], ["user:password"]),
        (["--auth-file", "/nowhere/at/all"], ["/nowhere/at/all", "no such file"]),
        (["--theme", "blue"], ["blue", "dark, light"]),
        (["--subpath", "a/../b"], ["a/../b", "/sd"]),
        (["--tls-keyfile", "/nowhere"], ["no such file"]),
        (["--cors-allow-origins", "example.org"], ["https://example.org"]),
        (["--cors-allow-origins-regex", "("], ["regular expression"]),
        (["--loglevel", "loud"], ["loud", "WARNING"]),
        (["--listen=maybe"], ["--listen takes no value"]),
        (["--no-login", "--auth", "a:b"], ["contradict"]),
        (["--data-dir", ""], ["file or folder"]),
        (["generate", "a", "red", "sphere"], ["'red'", "quotation marks"]),
        (["generate", "x", "--steps", "many"], ["--steps many", "whole number"]),
        (["generate", "x", "--guidance", "nan"], ["--guidance nan", "number"]),
        (["train"], ["webui train", "name"]),
    ],
)
def test_a_wrong_value_is_one_sentence_and_exit_code_2(argv, words, capsys):
    with pytest.raises(SystemExit) as end:
        parse(argv)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_password_is_never_repeated(capsys):
    with pytest.raises(SystemExit):
        parse(["--auth", "mysecretpassword"])
    assert "mysecret" not in capsys.readouterr().err


def test_help_names_every_flag_and_ends_well(capsys):
    for argv in (["--help"], ["-h"], ["generate", "--help"], ["--help", "bench"], ["--version"]):
        with pytest.raises(SystemExit) as end:
            parse(argv)
        assert end.value.code == 0
    assert all(flag.names[0] in help_text() for flag in (*PAGE, *PLACES, *MACHINE))
    assert all(name in help_text() for name in COMMANDS)
    assert "--negative-prompt" in help_text("generate")


def test_subpath_and_origins_are_put_into_one_form():
    flags = parse(["--subpath", "sd/ui/", "--cors-allow-origins", "http://a.example/, https://b.example:8080"])
    assert (flags.subpath, flags.cors_allow_origins) == ("/sd/ui", ("http://a.example", "https://b.example:8080"))


def test_generate_takes_pictures_boxes_and_sizes(tmp_path):
    picture, boxes = tmp_path / "in.png", tmp_path / "boxes.json"
    picture.touch()
    boxes.write_text('[["17", 0, 0, 0.5, 1]]')
    flags = parse(["generate", "--image", str(picture), "--mask", str(picture), "--strength", "0.6", "--class", "tench"])
    assert flags.request == {"image": picture, "mask": picture, "strength": 0.6, "class_label": "tench"}
    flags = parse(["generate", "--boxes", str(boxes), "--original-size", "1024x768", "--crop=8x0", "--noise-level", "20"])
    assert flags.request == {
        "boxes": [["17", 0, 0, 0.5, 1]], "original_width": 1024, "original_height": 768, "crop_left": 8, "crop_top": 0,
        "noise_level": 20,
    }  # fmt: skip
    assert parse(["generate", "--boxes", '[{"label": 3}]']).request == {"boxes": [{"label": 3}]}
    script = parse(["generate", "--script", 'X/Y/Z: a plot:{"x_values": "1:{2}", "margin": 3}']).request
    assert script == {"script": "X/Y/Z: a plot", "script_options": {"x_values": "1:{2}", "margin": 3}}
    assert parse(["generate", "--script", "Wildcards"]).request == {"script": "Wildcards", "script_options": {}}
    flags = parse(["generate", "x", "--refiner", "r", "--refiner-switch-at", "0.8", "--second-prompt", "y"])
    assert flags.request == {"prompt": "x", "refiner": "r", "refiner_switch": 0.8, "second_prompt": "y"}


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--image", "/nowhere/in.png"], "--image /nowhere/in.png is not right: there is no such file or folder."),
        (["--original-size", "1024"], "--original-size 1024 is not right: it must be two numbers like 1024x768."),
        (["--boxes", "{}"], "--boxes {} is not right: there is no such file."),
        (["--script", "a:{1}"], '--script a:{1} is not right: it must be named values in JSON, like {"push": 1.2}.'),
        (["--boxes", "[1,"], "--boxes [1, is not right: it must be a list in JSON, or a file that holds one."),
    ],
)
def test_a_wrong_picture_size_or_layout_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["generate", "x", *words])
    assert (ended.value.code, capsys.readouterr().err.strip()) == (2, sentence)


def test_fetch_may_stand_alone_or_name_a_file():
    assert parse(["fetch"]).options == {}
    assert parse(["fetch", "bert-vocabulary"]).options == {"name": "bert-vocabulary"}
