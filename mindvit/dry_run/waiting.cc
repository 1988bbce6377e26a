// The function that MindSpore calls in a dry run in place of CANN's aclrtProcessReport, which waits for a callback of
// the device. MindSpore's own returns at once, and two threads call it all the time: they take a seventh of the
// processor time of a dry run of ViT-B/16, and more than a third of that of a small network.
#include <unistd.h>

namespace mindspore::device::ascend {
template <typename T>
T SimuFuncIaclrtProcessReport(int) {
  usleep(10000);
  return 0;
}

template int SimuFuncIaclrtProcessReport<int>(int);
}  // namespace mindspore::device::ascend
