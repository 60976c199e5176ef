/* The pipe of the Turbo tab: one WebSocket, open while the tab is seen, opened again after a growing pause when it breaks.
   Text is JSON both ways. A binary message to the page is a frame: four bytes with the length of a JSON object, it, a JPEG. */
(() => {
  const FIRST_WAIT_MS = 300, LONGEST_WAIT_MS = 10_000, LINGER_MS = 30_000;
  const NOT_LET_IN = 4403, TOO_MANY = 4429;

  function unpack(buffer) {
    const length = new DataView(buffer).getUint32(0);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    return [told, new Blob([new Uint8Array(buffer, 4 + length)], { type: 'image/jpeg' })];
  }

  /* on: {opened(), closed(isLost, words), told(message), frame(told, jpeg)} */
  LW.livePipe = on => {
    let socket = null, tries = 0, retry, linger, isWanted = false;
    const isOpen = () => socket?.readyState === WebSocket.OPEN;

    function connect() {
      clearTimeout(retry);
      if (socket || !isWanted) return;
      const mine = socket = new WebSocket(LW.address('api/v1/live').replace(/^http/, 'ws'));
      mine.binaryType = 'arraybuffer';
      mine.onopen = () => { if (mine === socket) on.opened(); };
      mine.onmessage = ({ data }) => {
        if (mine !== socket) return;
        tries = 0;
        if (typeof data === 'string') on.told(JSON.parse(data));
        else on.frame(...unpack(data));
      };
      mine.onclose = ({ code, reason }) => { if (mine === socket) lost(code, reason); };
    }
    function lost(code, reason) {
      socket = null;
      tries++;
      if (code === NOT_LET_IN) isWanted = false; /* asking again would be refused again */
      const words = code === NOT_LET_IN ? 'This page is not let in any more. Load it again to log in.' : code === TOO_MANY ? reason || 'Too many live pages are open. Close one of them.' : '';
      on.closed(tries > 1 || Boolean(words), words);
      if (isWanted) retry = setTimeout(connect, code === TOO_MANY ? LONGEST_WAIT_MS : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** tries));
    }
    function close() {
      isWanted = false;
      clearTimeout(retry);
      const old = socket;
      socket = null;
      old?.close();
      if (old) on.closed(false, '');
    }
    addEventListener('online', connect);
    addEventListener('pagehide', close);

    return {
      isOpen,
      /* a page that is looked at again does not sit out the pause */
      open() { clearTimeout(linger); isWanted = true; connect(); },
      /* the server has room for some streams only: a page that nobody sees gives its own back */
      rest() { clearTimeout(linger); linger = setTimeout(close, LINGER_MS); },
      tell(message) { if (isOpen()) socket.send(typeof message === 'string' ? message : JSON.stringify(message)); },
      send(bytes) { if (isOpen()) socket.send(bytes); },
    };
  };
})();
