/* Painting on the picture that goes into the Turbo tab: strokes with one brush, undone one by one. */
(() => {
  const { one, all, part } = LW;
  const MOST_UNDONE = 20, SMALLEST = 2, LARGEST = 160;

  /* surface: {canvas, pen, kind()}; on: {painted(isDone)} */
  LW.liveBrush = (root, surface, on) => {
    const { canvas, pen } = surface, ring = part(root, 'ring'), size = part(root, 'size'), other = part(root, 'colour');
    let ink = one('[data-do="ink"][aria-pressed="true"]', root)?.dataset.value ?? '#000000', last = null, past = [];

    const scale = () => canvas.width / canvas.getBoundingClientRect().width;
    function at(event) {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
    }
    function stroke(from, to) {
      Object.assign(pen, { strokeStyle: ink, lineCap: 'round', lineJoin: 'round', lineWidth: +size.value });
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(to[0] + .01, to[1]);
      pen.stroke();
    }
    function remember() {
      past.push(pen.getImageData(0, 0, canvas.width, canvas.height));
      if (past.length > MOST_UNDONE) past.shift();
      show();
    }
    function moveRing(event) {
      const box = canvas.getBoundingClientRect(), side = size.value / scale(), place = ring.offsetParent?.getBoundingClientRect() ?? box;
      ring.hidden = surface.kind() !== 'paint' || event.pointerType === 'touch';
      Object.assign(ring.style, { width: `${side}px`, height: `${side}px`, left: `${event.clientX - place.left}px`, top: `${event.clientY - place.top}px` });
    }
    canvas.addEventListener('pointerdown', event => {
      if (event.button || surface.kind() !== 'paint') return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      remember();
      last = at(event);
      stroke(last, last);
      on.painted(false);
    });
    canvas.addEventListener('pointermove', event => {
      moveRing(event);
      if (!last) return;
      const parts = event.getCoalescedEvents?.() ?? [];
      for (const each of parts.length ? parts : [event]) { const next = at(each); stroke(last, next); last = next; }
      on.painted(false);
    });
    const lift = () => { if (last) { last = null; on.painted(true); } };
    canvas.addEventListener('pointerup', lift);
    canvas.addEventListener('pointercancel', lift);
    canvas.addEventListener('pointerleave', () => { ring.hidden = true; });

    function choose(colour) {
      ink = colour;
      for (const swatch of all('[data-do="ink"]', root)) swatch.setAttribute('aria-pressed', swatch.dataset.value === colour);
    }
    other.addEventListener('input', () => choose(other.value));
    function undo() {
      const before = past.pop();
      if (!before) return;
      pen.putImageData(before, 0, 0);
      show();
      on.painted(true);
    }
    function show() { part(root, 'undo').disabled = !past.length; }
    function keydown(event) {
      const key = event.key.toLowerCase();
      if (surface.kind() !== 'paint') return;
      if ((event.ctrlKey || event.metaKey) && key === 'z') undo();
      else if (event.ctrlKey || event.metaKey || event.altKey || (key !== '[' && key !== ']')) return;
      else size.value = Math.max(SMALLEST, Math.min(LARGEST, Math.round(size.value * (key === '[' ? .8 : 1.25) + (key === '[' ? -1 : 1))));
      event.preventDefault();
    }
    show();

    return { choose, undo, keydown, remember, forget() { past = []; last = null; show(); }, get isDown() { return last !== null; } };
  };
})();
