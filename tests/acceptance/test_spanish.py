"""wasess in Spanish: chosen by the machine or by ``--lang``, and the log lines of `serve` as its users know them."""

from __future__ import annotations

import json

import pytest
from homes import House, until

pytestmark = pytest.mark.acceptance

LINES = [
    "[SessionManager] 🚀 Inicializando gestor de sesiones...",
    "[SessionManager] Encontradas 1 conexiones activas",
    "[SessionManager] 🔄 Restaurando sesión para usuario: alice",
    "[SessionManager] ✅ Sesión restaurada para: alice",
    "[SessionManager] ⏰ Auto-reconexión configurada para: alice",
    "[SessionManager] ✅ Gestor de sesiones inicializado",
]
SPANISH = {"LANG": "es_ES.UTF-8"}


async def test_serve_says_its_known_lines(tmp_path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve(environment=SPANISH)
        await serve.said("inicializado")
        assert serve.log == LINES
        serve.process.terminate()
        assert await serve.over() == 0
        assert serve.log[len(LINES) :] == [
            "[SessionManager] Deteniendo gestor de sesiones...",
            "[SessionManager] Sesión detenida: alice",
            "[SessionManager] Gestor de sesiones detenido",
        ]


async def test_the_option_counts_more_than_the_machine(tmp_path):
    async with House(tmp_path) as house:
        await house.link("alice", "bob")
        serve = await house.serve("--lang", "es", "--events", environment={"LANG": "en_GB.UTF-8"})
        await serve.said("inicializado")
        assert serve.log[0] == LINES[0]
        assert serve.log[1] == "[SessionManager] Encontradas 2 conexiones activas"
        await until(lambda: any("manager_ready" in line for line in serve.out), "the event of it")
        events = [json.loads(line) for line in serve.out]
        assert (events[0]["event"], events[0]["reason"]) == ("manager_starting", LINES[0].removeprefix("[SessionManager] "))
        told = {(event["code"], event["state"], event["reason"]) for event in events if event["event"] == "state"}
        assert ("ONLINE", "online", "en línea") in told


async def test_a_home_without_sessions_is_counted_in_spanish(tmp_path):
    async with House(tmp_path) as house:
        house.home.open(create=True).claim_realm("sandbox")
        serve = await house.serve(environment=SPANISH)
        await serve.said("inicializado")
        assert serve.log == [LINES[0], "[SessionManager] Encontradas 0 conexiones activas", LINES[-1]]


@pytest.mark.parametrize(
    "environment", [{"LANG": "C.UTF-8"}, {"LANG": "de_DE.UTF-8"}, {"LANG": ""}, {"LANG": "es_ES.UTF-8", "LC_ALL": "C"}]
)
async def test_everybody_else_reads_english(environment, tmp_path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve(environment=environment)
        await serve.said("manager ready: 1 of 1 online")
        assert serve.log[:3] == ["manager starting", "1 session found", "restoring alice"]


async def test_what_a_bots_own_process_says_is_spanish(tmp_path):
    async with House(tmp_path) as house:
        (house.folder / "bot.py").write_text("def other(message):\n    return None\n")
        refused = await house.run("serve", "--bot", "bot.py:reply", environment=SPANISH)
        assert await refused.over() == 2
        assert refused.log == [
            "error: No se puede cargar el bot: bot.py no tiene ninguna función reply.",
            "  siguiente: Use --bot FILE.py:FUNCTION, una función que recibe un mensaje y devuelve la respuesta.",
        ]


async def test_what_a_sessions_own_process_says_is_spanish(tmp_path):
    async with House(tmp_path) as house:
        await house.link("alice")
        with house.home.session("alice").lock("connect"):
            serve = await house.serve(environment=SPANISH)
            await serve.said("otro proceso tiene esta sesión; se espera a que la suelte", 30)
            assert serve.has_said("La sesión 'alice' está en uso por el proceso ")
        await serve.said("✅ Sesión restaurada para: alice", 30)


async def test_help_and_errors_are_spanish(tmp_path):
    async with House(tmp_path) as house:
        helping = await house.run("--help", environment=SPANISH)
        assert await helping.over() == 0
        assert helping.out[0] == "Uso: wasess [OPTIONS] COMMAND [ARGS]..."
        assert "Comandos:" in helping.out
        refused = await house.run("connect", "Alice", environment=SPANISH)
        assert await refused.over() == 2
        assert refused.log[0].startswith("error: 'Alice' no puede ser un identificador de usuario: ")
        assert refused.log[1] == "  siguiente: Use alice en su lugar."
