# A new column, published from the same transaction on; another that is not.
class AddPhone < ActiveRecord::Migration[6.1]
  def up
    add_column :patients, :phone, :text
    add_column :patients, :notes, :text, null: false, default: 'none'
    publish '{name,email,version,phone}'
  end

  def down
    # attach() takes a weaker lock than DROP COLUMN; taking the stronger one
    # later would be a deadlock with a writer who came in between.
    execute 'LOCK TABLE patients IN ACCESS EXCLUSIVE MODE'
    publish '{name,email,version}'
    remove_column :patients, :notes
    remove_column :patients, :phone
  end

  private

  def publish(columns)
    execute "SELECT hcevents.attach('patients', 'patient', '#{columns}')"
  end
end
