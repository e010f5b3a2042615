addEventListener('keydown', event => {
  const step = {ArrowRight: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, PageUp: -1}[event.key];
  if (!step || event.target.closest('input, select, button, [tabindex]')) return;
  const slides = [...document.querySelectorAll('.slide')];
  const here = slides.findIndex(slide => slide.getBoundingClientRect().bottom > innerHeight / 3);
  slides[Math.min(Math.max(here + step, 0), slides.length - 1)].scrollIntoView();
  event.preventDefault();
});
