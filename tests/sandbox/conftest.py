from __future__ import annotations

import gc

import pytest
from gateway_rig import Rig, soon


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path)
    await rig.gateway.start()
    yield rig
    await soon(rig.gateway.close())
    assert not rig.gateway._connections
    gc.collect()  # a transport left open would warn here, and warnings are errors
