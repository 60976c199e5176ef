/* Boxes with prompts: drawn, moved and sized with the pointer or the keys, and kept as text in a box that Gradio knows. What is
   typed comes in through value and textContent alone. The page runs this for each tab, when its panel is opened. */
function regionalPrompts(root, tab, id) {
  const MOST = 12, LEAST = 0.04, STEP = 0.01;
  const part = name => root.querySelector(`[data-part="${name}"]`);
  const area = part('area'), list = part('list');
  const make = (tag, more = {}, ...children) => { const made = Object.assign(document.createElement(tag), more); made.append(...children); return made; };
  const round = share => Math.round(share / STEP) * STEP;
  const short = share => String(+share.toFixed(4));
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  let boxes = [], chosen = -1, written = null;

  function read(text) {
    const found = [];
    for (const line of (text ?? '').split('\n')) {
      const match = /^\s*([-+.\deE]+)[\s,]+([-+.\deE]+)[\s,]+([-+.\deE]+)[\s,]+([-+.\deE]+)\s*:(.*)$/.exec(line);
      const [x, y, width, height] = match?.slice(1, 5).map(Number) ?? [];
      if (match && [x, y, width, height].every(Number.isFinite)) found.push({ x, y, width, height, prompt: match[5].trim() });
    }
    return found.slice(0, MOST);
  }
  const written_of = () => boxes.map(box => `${[box.x, box.y, box.width, box.height].map(short).join(' ')}: ${box.prompt.replace(/\s*\n\s*/g, ' ')}`).join('\n');
  function keep() {
    const box = document.querySelector(`#${id} :is(textarea, input)`);
    written = written_of();
    if (!box || box.value === written) return;
    box.value = written;
    box.dispatchEvent(new Event('input', { bubbles: true }));
  }

  const side = name => Number(document.querySelector(`#${tab}_${name} input`)?.value) || 512;
  function proportions() {
    const ratio = within(side('width') / side('height'), 0.25, 4);
    Object.assign(area.style, { aspectRatio: `${ratio}`, width: `min(100%, ${340 * ratio}px)` });
  }

  function place(element, box) {
    for (const [name, value] of Object.entries({ left: box.x, top: box.y, width: box.width, height: box.height })) element.style[name] = `${100 * value}%`;
  }
  const label = (box, number) => `Box ${number + 1}${box.prompt ? `, ${box.prompt}` : ''}: ${Math.round(100 * box.x)} % from the left, ${Math.round(100 * box.y)} % from the top, ${Math.round(100 * box.width)} % by ${Math.round(100 * box.height)} %`;
  function choose(number) {
    chosen = number;
    [...area.children].forEach((each, i) => each.classList.toggle('rp-on', i === number));
    [...list.children].forEach((each, i) => each.classList.toggle('rp-on', i === number));
  }
  function fill(number) {
    const element = area.children[number], box = boxes[number];
    place(element, box);
    element.setAttribute('aria-label', label(box, number));
    element.querySelector('.rp-name').textContent = box.prompt;
  }
  /* what there is, anew; the focus goes to what = 'box' or 'prompt' of a number */
  function draw(number = -1, what = '') {
    area.replaceChildren(...boxes.map((box, i) => {
      const element = make('div', { className: 'rp-box', tabIndex: 0 }, make('span', { className: 'rp-number', textContent: i + 1 }), make('span', { className: 'rp-name' }), make('i', { className: 'rp-corner' }));
      element.setAttribute('role', 'group');
      element.addEventListener('focus', () => choose([...area.children].indexOf(element)));
      return element;
    }));
    list.replaceChildren(...boxes.map((box, i) => {
      const prompt = make('input', { type: 'text', value: box.prompt, placeholder: 'What does this box show?', maxLength: 1000 });
      prompt.setAttribute('aria-label', `Prompt of box ${i + 1}`);
      prompt.addEventListener('input', () => { box.prompt = prompt.value; fill(i); keep(); });
      prompt.addEventListener('focus', () => choose(i));
      const remove = make('button', { type: 'button', className: 'btn ghost rp-remove', title: `Take box ${i + 1} away`, textContent: '×' });
      remove.setAttribute('aria-label', remove.title);
      remove.addEventListener('click', () => take(i));
      return make('li', {}, make('span', { className: 'rp-number', textContent: i + 1 }), prompt, remove);
    }));
    boxes.forEach((_, i) => fill(i));
    list.hidden = !boxes.length;
    part('clear').hidden = !boxes.length;
    part('add').disabled = boxes.length >= MOST;
    choose(number);
    if (what === 'box') area.children[number]?.focus();
    if (what === 'prompt') list.children[number]?.querySelector('input').focus();
  }
  function take(number) {
    boxes.splice(number, 1);
    keep();
    draw(Math.min(number, boxes.length - 1), 'box');
    if (!boxes.length) part('add').focus();
  }
  function add(box) {
    boxes.push({ prompt: '', ...box });
    keep();
    draw(boxes.length - 1, 'prompt');
  }

  /* the pointer: on nothing a new box, on a box a move, on its corner its size */
  const at = event => { const box = area.getBoundingClientRect(); return [within((event.clientX - box.left) / box.width, 0, 1), within((event.clientY - box.top) / box.height, 0, 1)]; };
  function follow(event, move, end) {
    event.preventDefault();
    area.setPointerCapture(event.pointerId);
    const stop = new AbortController(), { signal } = stop;
    area.addEventListener('pointermove', each => move(...at(each)), { signal });
    for (const name of ['pointerup', 'pointercancel']) area.addEventListener(name, () => { stop.abort(); end(); }, { signal });
  }
  area.addEventListener('pointerdown', event => {
    if (event.button) return;
    const element = event.target.closest('.rp-box'), [x, y] = at(event);
    if (!element) {
      if (boxes.length >= MOST) return;
      const box = { x: round(x), y: round(y), width: 0, height: 0, prompt: '' }, ghost = make('div', { className: 'rp-ghost' });
      area.append(ghost);
      return follow(event, (toX, toY) => {
        Object.assign(box, { x: round(Math.min(x, toX)), y: round(Math.min(y, toY)), width: round(Math.abs(toX - x)), height: round(Math.abs(toY - y)) });
        place(ghost, box);
      }, () => { ghost.remove(); if (box.width >= LEAST && box.height >= LEAST) add(box); });
    }
    const number = [...area.children].indexOf(element), box = boxes[number], start = { ...box };
    element.focus();
    const edge = element.getBoundingClientRect(), reach = event.pointerType === 'touch' ? 28 : 18;
    if (event.clientX > edge.right - reach && event.clientY > edge.bottom - reach) {
      return follow(event, (toX, toY) => { size(number, start.width + toX - x, start.height + toY - y); }, keep);
    }
    follow(event, (toX, toY) => { move(number, start.x + toX - x, start.y + toY - y); }, keep);
  });
  function move(number, x, y) {
    const box = boxes[number];
    Object.assign(box, { x: round(within(x, 0, 1 - box.width)), y: round(within(y, 0, 1 - box.height)) });
    fill(number);
  }
  function size(number, width, height) {
    const box = boxes[number];
    Object.assign(box, { width: round(within(width, LEAST, 1 - box.x)), height: round(within(height, LEAST, 1 - box.y)) });
    fill(number);
  }
  area.addEventListener('keydown', event => {
    const number = [...area.children].indexOf(event.target), box = boxes[number];
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
    if (right || down) {
      if (event.shiftKey) size(number, box.width + right * STEP, box.height + down * STEP);
      else move(number, box.x + right * STEP, box.y + down * STEP);
      keep();
    } else if (event.key === 'Delete' || event.key === 'Backspace') take(number);
    else if (event.key === 'Enter') list.children[number].querySelector('input').focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  part('add').addEventListener('click', () => {
    const number = boxes.length % 6; /* beside each other, three in a row */
    add({ x: [0.02, 0.35, 0.68][number % 3], y: number < 3 ? 0.05 : 0.52, width: 0.3, height: 0.43 });
  });
  part('clear').addEventListener('click', () => { boxes = []; keep(); draw(); part('add').focus(); });

  /* the text changes from elsewhere: a reload, a picture that is taken as input. What this panel wrote itself is no news. */
  const tabs = window.regionalPromptsTabs ??= new Map();
  tabs.set(tab, text => { if ((text ?? '') !== written) { boxes = read(text); written = text ?? ''; draw(); } });
  window.regionalPromptsSaid ??= (tab, text) => window.regionalPromptsTabs.get(tab)?.(text);
  const start = () => tabs.get(tab)(document.querySelector(`#${id} :is(textarea, input)`)?.value ?? '');
  for (const name of ['width', 'height']) document.addEventListener('input', event => { if (root.isConnected && event.target.closest?.(`#${tab}_${name}`)) proportions(); });
  new IntersectionObserver(() => { if (root.isConnected) proportions(); }).observe(area);
  proportions();
  start();
  setTimeout(start, 100); /* the text may come to its box after this */
}
