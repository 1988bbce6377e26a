// The symbols of CANN whose result MindSpore's Ascend plugin uses even in a dry run. All others return 0.
// Compiled with the old ABI of std::string, as CANN and the plugin are.
#include <cstdlib>
#include <map>
#include <string>

extern "C" const char *aclrtGetSocName() {
  const char *name = std::getenv("MINDVIT_DRY_RUN_SOC");
  return name == nullptr ? "Ascend910B1" : name;
}

namespace ge {
// Initializers of the plugin register error messages in it.
class StatusFactory {
 public:
  static StatusFactory *Instance() __attribute__((used));

 private:
  std::map<unsigned int, std::string> descriptions_;
};

StatusFactory *StatusFactory::Instance() {
  static StatusFactory factory;
  return &factory;
}

// As large as an operator of the graph engine: a virtual table and a shared pointer. All are empty.
struct Operator {
  void *virtual_table;
  void *pointer;
  void *control_block;
};

struct OperatorFactory {
  static Operator CreateOperator(const char *name, const char *type);
  static Operator CreateOperator(const std::string &name, const std::string &type);
  static bool IsExistOp(const char *type);
  static bool IsExistOp(const std::string &type);
};

Operator OperatorFactory::CreateOperator(const char *, const char *) { return {}; }
Operator OperatorFactory::CreateOperator(const std::string &, const std::string &) { return {}; }
bool OperatorFactory::IsExistOp(const char *) { return true; }
bool OperatorFactory::IsExistOp(const std::string &) { return true; }
}  // namespace ge
