"""What witnesses and time-stamping authorities answer: short texts, of strangers."""

import aiohttp


async def whole_body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """All of it, in however many pieces the network brings it.

    Raises:
        aiohttp.ClientPayloadError: It is longer than `bytes_max`, or was cut off.
    """
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > bytes_max:
            raise aiohttp.ClientPayloadError(f"the answer has more than {bytes_max} bytes")
    return bytes(body)
