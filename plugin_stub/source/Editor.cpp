#include "Editor.h"
#include "Processor.h"
namespace jackdaw {
Editor::Editor(Processor& p) : AudioProcessorEditor(p) { setSize(400, 300); }
} // namespace jackdaw
