"""Lets containers reach the stack on loopback: listens on the address that Docker's bridge has on this machine.

`sam local invoke` runs a function in a container, to which 127.0.0.1 is the container itself. Docker Desktop leads
host.docker.internal to loopback; Docker on Linux leads it to the bridge, where nothing of ours listens without this.
"""

import argparse
import asyncio
import ipaddress
import subprocess
import sys

from dev.stack import read_port

_CHUNK_BYTES = 65_536


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # the other side has gone: so does this one
    finally:
        writer.close()


async def _serve(address: str, port: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    server = await asyncio.start_server(connect, address, port)
    print(f"{address}:{port} leads to 127.0.0.1:{port} until you stop this (Ctrl-C)", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run `make bridge`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="4566")
    port = read_port(parser.parse_args().port)
    if sys.platform != "linux":
        sys.exit(
            "make bridge needs Linux, and is needed there only: Docker Desktop leads containers to loopback by itself"
        )
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    found = subprocess.run(inspect, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"docker does not answer: {found.stderr.strip()}")
    try:
        address = ipaddress.ip_network(found.stdout.strip())[1]  # Docker takes the first address of the bridge's subnet
        asyncio.run(_serve(str(address), port))
    except OSError as error:
        sys.exit(f"{address}, the bridge, cannot be listened on: {error.strerror}; is there such a command already?")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
